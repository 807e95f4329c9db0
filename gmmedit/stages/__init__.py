"""The stages of the pipeline: each is a function `run` from a run folder and settings to the artifact it writes.

| stage         | reads                                | writes     | command              |
|---------------|--------------------------------------|------------|----------------------|
| sample.py     | generator                            | samples.h5 | gmmedit sample       |
| label.py      | samples.h5, generator, classifier    | labels.h5  | gmmedit label        |
| fit_single.py | samples.h5, labels.h5                | single.h5  | gmmedit fit-single   |
| fit_mixture.py| the same and single.h5, G, f         | mixture.h5 | gmmedit fit-mixture  |
| edit.py       | samples.h5, mixture.h5, G, f         | edits.h5   | gmmedit edit         |

discover.py finds directions without labels, traverse.py edits along them in a run without mixture.h5, and
disentanglement.py measures encoders. evaluate.py and compare.py score editors, report.py writes an HTML page,
verify.py checks a run, export.py writes files for scripts of other projects. Stages do not import each other; they
communicate through artifacts.
"""
