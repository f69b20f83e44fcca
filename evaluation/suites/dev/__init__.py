"""Development tasks for choosing the hyper-parameters of pretraining, so that the evaluation stays unseen.

They use only packages of the pretraining corpus and synthesis, never packages of the evaluation.
"""
