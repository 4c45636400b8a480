"""Hardware in the loop: the traffic world, virtual devices, the reference release service, targets and their tests.

Nothing in the product imports this package; `hil/devices` and `hil/world` import nothing of the product.
"""
