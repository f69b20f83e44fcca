"""Development tasks: what pretraining's hyper-parameters are chosen by, so that the evaluation stays unseen.

Made only of packages that pretraining uses and of synthesis; never of packages of the evaluation.
"""
