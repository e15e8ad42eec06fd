"""The retriever: contents become vectors, vectors are kept and searched."""
