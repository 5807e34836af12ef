<?php echo "index of the root";
