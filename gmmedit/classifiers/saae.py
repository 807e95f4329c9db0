"""The style encoder of an SAAE as a classifier: the group of an image's style."""

from pathlib import Path

from torch import Tensor

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.preprocessing import convert_channels, resize
from gmmedit.networks.saae import SAAE, STYLE, read_saae


class SAAEClassifier(Classifier):
    """The nearest group of the styles that were trained on: where nobody has labelled styles, these are their labels.

    The log-odds are those of Gaussians about the groups' centres, of the spread that styles have about them, and not
    sharper with more dims of the code.
    """

    converts = True

    def __init__(self, network: SAAE) -> None:
        super().__init__()
        self.network, self.fingerprint, config = network, network.fingerprint, network.config
        self.attributes = [Attribute(STYLE, tuple(str(number + 1) for number in range(config.groups)))]
        channels, height, width = config.image_shape
        self.input_size, self.channels = (height, width), (channels,)

    def logits(self, images: Tensor) -> Tensor:
        """See `Classifier.logits`; the columns have mean 0, and those of two groups are -l/2 and l/2."""
        network = self.network
        codes = network.style(resize(convert_channels(images, self.channels), self.input_size))
        distance = (codes[:, None] - network.centres).square().sum(2)
        logits = -distance / (2 * network.spread.square() * network.config.style**0.5)
        return logits - logits.mean(dim=1, keepdim=True)


def read_classifier(path: Path) -> SAAEClassifier:
    """The classifier in a file of `save_saae`. InputError: damaged, or another kind of file."""
    return SAAEClassifier(read_saae(path))
