"""A weight file -> a repository of the Hugging Face Hub: card, files, one commit, an entry of the index."""
