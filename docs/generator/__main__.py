"""`python -m docs.generator` writes every generated table anew."""

from docs.generator.pages import write_pages

write_pages()
