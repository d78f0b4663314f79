"""Real training, every operation and joule recorded. The only room that knows torch.

Reading order: `plan` (what decides the cost of a step), `budget` (progress and the learning rate),
`model` and `task` (what is trained on what), `method` (who changes the plan), `work` (the only way
to the model: phases), `count` and `costs` (what a phase and a signature cost), `trainer` (the loop),
`checkpoint`. Around it: `tasks/`, `methods/`, `data/`, `recorder/`, `power/`, `suites/`.
"""
