"""How sure the numbers of a run are: intervals, and estimates for the whole workload. Pure functions of columns.

Theory of operation. Requests of one time share the load that they met, so neither they nor the traces are independent,
and resampling them gives intervals that are far too narrow. What can be taken for independent are blocks of time that
are long beside a trace. Every estimate here is made once from all blocks, and once without each of them: how far these
differ is its standard error (the jackknife), with as many degrees of freedom as there are blocks, less one.
docs/certainty.md has the formulas, and how often a stated 95 % held.
"""
