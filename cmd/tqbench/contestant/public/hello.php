<?php
echo "Hello from TQServer!\n";
