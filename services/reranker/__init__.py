"""The reranker: LamRA-Rank over a model engine, pointwise and listwise."""
