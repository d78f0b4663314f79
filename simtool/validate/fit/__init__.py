"""The constants of software stacks from published steps: one regularised fit, checked on families it never saw."""
