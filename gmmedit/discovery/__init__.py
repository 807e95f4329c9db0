"""Directions of a generator's latent space without labels, and an encoder that reads them.

After Cai et al. 2024 (candidate directions, semantic decomposition, contrast in a space of variations), of which
neither code nor formulas are public. The default: `components.py` (components of images, turned by varimax) and
`reader.py`. The reconstruction, stage by stage: `candidates.py` (Voynov and Babenko 2020), `decomposition.py` (Shen and
Zhou 2021), `contrast.py` (Ren et al. 2022, DisCo). `protocol.py` and `controls.py` measure an encoder on data whose
factors are known.
"""
