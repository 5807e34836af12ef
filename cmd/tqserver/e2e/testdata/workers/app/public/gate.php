<?php
// Says which process it is (data/NAME.pid), sends ?before bytes, waits for
// data/NAME.go, sends `after`, leaves data/NAME.done.
ignore_user_abort(true);
while (ob_get_level()) {
    ob_end_flush(); // Debian's php.ini buffers 4 KiB, and flush() leaves that alone
}
$mark = dirname(__DIR__) . '/data/' . preg_replace('/\W/', '', $_GET['name']);
header('Content-Type: text/plain');
if (isset($_GET['unbuffered'])) {
    header('X-Accel-Buffering: no');
}
if (isset($_GET['length'])) {
    header('Content-Length: ' . (int)$_GET['length']);
}
if (isset($_GET['before'])) {
    echo str_repeat('b', (int)$_GET['before']);
    flush();
}
file_put_contents("$mark.tmp", getmypid());
rename("$mark.tmp", "$mark.pid");
$until = microtime(true) + 20;
while (!file_exists("$mark.go") && microtime(true) < $until) {
    usleep(2000);
    clearstatcache();
}
if (!isset($_GET['length'])) {
    echo 'after';
}
touch("$mark.done");
