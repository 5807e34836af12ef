<?php
echo str_repeat("0123456789abcdef\n", 11765), "\n";
