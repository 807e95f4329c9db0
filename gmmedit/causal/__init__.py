"""Attribute graphs: which attribute causes which, how strongly, and what follows from a change.

Glossary, with the shapes used everywhere:

- *values* (N, A): the index of each sample's value of each attribute; *sizes*: the number of values of each.
- *cells*: the different rows of `values` and how often each occurs, all that any method here needs.
- *edges* (A, A) bool: `edges[i, j] and not edges[j, i]` is i -> j; both is an undirected edge, whose direction
  neither the data nor the user determines (the graph stands for all directed acyclic graphs that data cannot tell
  apart, a completed partially directed graph).
- *mechanism*: P(value | values of the parents), a table with an axis for each parent and a last one for the values.
- *confusion* (C, C): P(label i | true value j), columns sum to one.

numpy, torch for what needs gradients; no files, no flags, no global random state. The optional extra of `external`
is imported when one of its methods is asked for.
"""
