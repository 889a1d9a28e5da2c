"""What faults do to traffic: one stage for each rule on each direction; `registry` has them by kind."""
