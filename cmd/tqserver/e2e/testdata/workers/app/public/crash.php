<?php
// Ends its process: ?how=segv, kill, or exit, which ends only the script.
switch ($_GET['how'] ?? 'exit') {
    case 'segv':
        posix_kill(getmypid(), 11);
        break;
    case 'kill':
        posix_kill(getmypid(), 9);
        break;
    case 'oom':
        ini_set('memory_limit', '-1');
        $all = [];
        while (true) {
            $all[] = random_bytes(1 << 20);
        }
    default:
        exit(7);
}
usleep(500000); // the signal comes first
