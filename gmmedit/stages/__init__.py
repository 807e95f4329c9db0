"""The pipeline: five stages, each a function from a run folder and settings to the artifact it wrote.

| stage         | reads                                | writes     | command              |
|---------------|--------------------------------------|------------|----------------------|
| sample.py     | generator                            | samples.h5 | gmmedit sample       |
| label.py      | samples.h5, generator, classifier    | labels.h5  | gmmedit label        |
| fit_single.py | samples.h5, labels.h5                | single.h5  | gmmedit fit-single   |
| fit_mixture.py| the same and single.h5, G, f         | mixture.h5 | gmmedit fit-mixture  |
| edit.py       | samples.h5, mixture.h5, G, f         | edits.h5   | gmmedit edit         |

evaluate.py scores the editors side by side, verify.py checks what there is, export.py writes files for other projects'
scripts. No stage imports another: they meet in the artifacts.
"""
