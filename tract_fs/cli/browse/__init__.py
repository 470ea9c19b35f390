"""The browser in a terminal: the page of `tract view` over SSH. Extra `tui`: textual.

`lines` is what any part of the screen shows, `history` and `documents` read a tract into lines, `line_view`, `choice` and
`app` show them. Only the command `tract browse` imports this package. It opens the store read-only, and changes nothing in it.
"""
