"""Workers on other machines: clocks, placement, transport."""
