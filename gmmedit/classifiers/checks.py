"""What a classifier of another package or of a user's function must be before a step relies on it."""

import torch
from torch import Tensor

from gmmedit.classifiers.attributes import check_attributes
from gmmedit.classifiers.base import Classifier
from gmmedit.errors import InputError, out_of_memory
from gmmedit.networks import first_line

TRIAL_IMAGES = 2  # so that a classifier that gives one answer for all images is noticed


def check_classifier(made: object, where: str) -> Classifier:
    """The classifier, for images of any channels. InputError: it is no `Classifier`, or lacks required attributes."""
    if not isinstance(made, Classifier):
        message = f"{where} returns a {type(made).__name__}, not a Classifier"
        raise InputError(message, hint="describe it in a YAML file: docs/classifiers.md")
    lacking = [name for name in ("attributes", "input_size", "fingerprint") if not getattr(made, name, None)]
    if lacking:
        raise InputError(
            f"the Classifier of {where} has no {', '.join(lacking)}", hint="see gmmedit.classifiers.Classifier"
        )
    check_attributes(made.attributes, where)
    if made.converts:  # a classifier of gmmedit itself
        return made
    check_answers(made, where)
    from gmmedit.classifiers.custom import ConvertingClassifier

    return ConvertingClassifier(made)


@torch.no_grad()
def check_answers(made: Classifier, where: str) -> None:
    """InputError: the classifier fails on two images, or its logits do not match its attributes."""
    shape = (TRIAL_IMAGES, made.channels[-1], *made.input_size)
    try:
        found = made.logits(torch.linspace(-1, 1, torch.Size(shape).numel()).view(shape))
    except InputError:
        raise
    except Exception as error:  # code of another package
        if out_of_memory(error):
            raise
        message = f"the Classifier of {where} fails on images {list(shape)}: {first_line(error)}"
        raise InputError(message, hint="--debug shows where") from error
    columns = sum(len(attribute.values) for attribute in made.attributes)
    actual = list(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
    if actual != [TRIAL_IMAGES, columns]:
        message = f"logits of {where} are {actual} for {TRIAL_IMAGES} images, its attributes have {columns} values"
        raise InputError(message, hint="return one column for each value of each attribute")
