"""A program whose marked lines type checkers must refuse."""

from right import Acme

Acme()  # wrong
Acme(token=1)  # wrong
Acme(token="t", tokn="u")  # wrong
Acme("t")  # wrong
Acme(token="t", port="22")  # wrong
acme = Acme(token="t")
acme.create_machine("web")  # wrong
acme.stop_machine(7)  # wrong
acme.nothing()  # wrong
