"""What a trained model has to beat, as HEAR modules: ``logmel``, HEAR's ``naive``, the ``untrained`` network."""
