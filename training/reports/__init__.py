"""Cards, figures and studies of what was trained."""
