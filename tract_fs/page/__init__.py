"""The page: tracts as one HTML file that opens without a network.

`texts` and `document` are pure; `columns` reads a tract; `file` writes. The template, `page.html`, holds all markup, style and
script. What comes from a store is only in the data block, and the script shows it as text, never as markup.
"""
