"""The text of a new scenario. It runs as it stands."""

SCENARIO = """\
# Question: <what is this scenario to answer?>
#
#   simtool check FILE              all that is wrong with it, before anything runs
#   simtool run FILE                time, energy, money, carbon
#   simtool plot FILE               figures
#   simtool schema scenario         what else may stand here
#
# A quantity carries its unit. Written short (0.08 USD/kWh) it counts as assumed by this scenario; written
# long, {value: 0.08 USD/kWh, kind: published, source: "...", spread: 0.1}, it names where it comes from.
schema: simtool/scenario/1
name: NAME
question: ""

workload:
  model: llama3.1-8b         # 'simtool list models', the path of a config.json, or the model's fields
  tokens: 100 Gtoken         # training tokens in all
  seq_len: 8192              # tokens in one sequence
  global_batch: 512          # sequences in one step; or tokens: 4 Mtoken, rounded to what the layout allows
  precision: bf16            # bf16, fp16 or fp32
  recompute: none            # none, selective (attention only) or full: less memory, more work

method: none                 # or an efficiency method ('simtool list methods'), compared with none:
# method: {profile: fewer-operations, forward_frac: 0.6, backward_frac: 0.6}

cluster:
  accelerator: h100-sxm      # 'simtool list hardware'
  num_nodes: 4               # nodes that train; the node and the network are the accelerator's usual ones
  spare_nodes: 0             # nodes that wait for others to fail
# power_cap: 500 W           # limit of one accelerator's board power

layout: auto                 # the fastest that fits, or your own; dp is what is left over:
# layout: {tp: 2, pp: 1, zero: 1, micro_batch: 1}

software:
  framework: megatron-core   # 'simtool list software'

reliability:                 # or: none
  node_failures_per_1000_node_days: 3.8
  repair: 24 h               # until a failed node works again
  restart: 5 min             # loading the checkpoint, until the first new step
  checkpoint: {kind: asynchronous, write: 60 s, stall: 5 s, interval: daly}

site:
  zone: ""                   # a word for the reader
  start: 2025-01-01T00:00Z   # with a time zone; Z is UTC
  cooling: {pue: 1.2}        # facility energy over IT energy
  price: 0.08 USD/kWh        # or hourly: {series: price-ercot}, 'simtool list series'
  carbon: {average: 0.4 kgCO2e/kWh}     # or hourly: {average: {series: carbon-ercot}}

economics:                   # renting; electricity is in the price
  mode: rent
  price: 2.50 USD/h          # of one accelerator of this kind: another kind needs its own price
  money: {year: 2025, kind: nominal}
# economics:                 # owning; electricity is paid at the site's price
#   mode: own
#   accelerator_price: 30_000 USD       # the profile's own if not given
#   network_share: 0.2                  # network and storage, as a fraction of the nodes
#   lifetime: 5 year
#   interest_per_year: 0.08
#   residual_value: 0.1                 # at the end of the lifetime, as a fraction of the price
#   utilisation: 0.8                    # share of the lifetime in which it works for somebody
#   maintenance_per_year: 0.03          # as a fraction of the hardware price

# observed:                  # published figures of the real run, printed beside the prediction
#   source: "where they were published"
#   accelerator_hours: 1 Mh

seed: 1                      # of the failures; --seeds 20 shows the spread between runs
"""
