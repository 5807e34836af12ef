<?php
// When it was started, in microseconds; then it takes its time.
echo (int) (microtime(true) * 1e6), "\n";
usleep(max(0, min(10000, (int) $_GET['ms'])) * 1000);
