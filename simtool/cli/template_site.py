"""The text of a new datacenter. It runs as it stands, in seconds."""

DATACENTER = """\
# Question: <what is this datacenter to answer?>
#
#   simtool check FILE              all that is wrong with it, before anything runs
#   simtool run FILE                jobs, queue, failures, power, cooling, bill, carbon, water
#   simtool plot FILE               figures
#   simtool schema datacenter       what else may stand here
#
# A quantity carries its unit. Written short (0.08 USD/kWh) it counts as assumed by this file; written long,
# {value: 0.08 USD/kWh, kind: published, source: "...", spread: 0.1}, it names where it comes from.
schema: simtool/datacenter/1
name: NAME
question: ""

start: 2025-03-01T08:00Z     # with a time zone; Z is UTC; here midnight in California
duration: 14 d               # without it: until the last job has ended
time_zone: America/Los_Angeles   # for the months of a bill whose tariff names none

pools:                       # equal nodes that jobs share; several pools are several entries
  - name: main               # a word for results, and for 'pool: ...' of jobs
    accelerator: h100-sxm    # 'simtool list hardware'; node and network are its usual ones
    num_nodes: 32            # nodes that run jobs
    spare_nodes: 1           # nodes that only replace failed ones
    nodes_per_rack: 4        # for placement

jobs:                        # one of the three below, or several together
  campaign:                  # training runs, as scenarios describe them ('simtool list scenarios', or a path)
    - name: pretrain         # results call it so
      scenario: megatron-22b # the model, its batch and precision
      num_nodes: 8           # that it takes, in place of the scenario's cluster
      layout: auto           # the fastest that fits on so many
      tokens: 10 Gtoken      # in place of the scenario's
      submit: 2025-03-02T08:00Z   # when it joins the queue
      priority: 10           # higher goes first, where the scheduler looks at it
      checkpoint: {kind: asynchronous, write: 60 s, stall: 5 s, interval: 1 h}   # or interval: daly
      restart: 5 min         # loading the checkpoint, until the first new step
  generator:                 # everybody else's jobs, drawn from a fitted source of jobs
    profile: philly-2017     # 'simtool list job-generators'; of your own jobs: 'simtool jobs TRACE -o mine.yaml'
    load: 0.6                # of the pools' time; without it, as many as the source has
# trace: {file: sacct.txt, time_zone: America/Chicago}     # or jobs of a file: 'simtool list job-readers'
  work:                      # what devices do in jobs of which only size and time are known
    activity: 0.42           # share of the time in which they compute; in the rest they wait
    limit: 3                 # time that such a job asks for, over the time that it takes

scheduler:                   # how jobs wait and where they are put
  name: easy                 # 'simtool list schedulers'
  placement: nodes           # 'simtool list placements'

reliability:                 # or: none
  preset: rsc-1              # 'simtool list reliability'; or causes of your own

facility:                    # or: {pue: 1.2}
  profile: hyperscale-tower  # 'simtool list facilities'
  weather: {place: san-jose} # 'simtool list weather', or a CSV of your own

electricity:                 # or: {price: 0.08 USD/kWh}, or {price: {series: price-ercot}}
  tariff: pge-industrial-tou # 'simtool list tariffs', or a file of your own

carbon:                      # accounts that are never mixed
  average: 0.25 kgCO2e/kWh   # what the grid emits; or hourly: {series: carbon-caiso}
# marginal: 0.5 kgCO2e/kWh   # what one more kWh makes it emit
# market: 0 kgCO2e/kWh       # what the site's contracts say
# shadow_price: 0.1 USD/kgCO2e    # shown apart, in no bill

water: {grid: 1.8 l/kWh}     # consumed at the power plants; what the building takes is computed

economics:                   # without it, electricity alone is billed
  mode: own                  # or: rent, with 'price: 2.50 USD/h'
  network_share: 0.2         # network and storage, as a fraction of the nodes
  lifetime: 5 year           # over which the price is spread
  interest_per_year: 0.08    # of the money that stands in it
  residual_value: 0.1        # at the end of the lifetime, as a fraction of the price
  utilisation: 1             # the site's hardware is charged for whenever it stands there
  maintenance_per_year: 0.03 # as a fraction of the hardware price

seed: 1                      # of jobs and failures; --seeds 5 shows the spread between runs
"""
