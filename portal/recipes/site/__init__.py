"""A site as a whole: made, removed, brought in; each as one plan whose steps are taken back in reverse."""
