"""What only the training of a codec needs: the way back to sound, codebooks that learn, a spectral loss."""
