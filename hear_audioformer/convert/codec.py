"""EnCodec's checkpoints; their rules stand in the codec's own folder, whose loader reads them too."""

from ..codec.encodec import convert as convert
