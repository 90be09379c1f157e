"""What an agent may know: articles, passages, the search for the best, the answer without a model."""
