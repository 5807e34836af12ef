<?php
// Runs for ?ms milliseconds in the way that ?how says; ?abort: whatever the
// client does. ?mark leaves data/MARK.run and data/MARK.done.
ignore_user_abort(isset($_GET['abort']));
$mark = isset($_GET['mark']) ? dirname(__DIR__) . '/data/' . preg_replace('/\W/', '', $_GET['mark']) : null;
if ($mark) {
    touch("$mark.run");
}
$ms = (int)($_GET['ms'] ?? 0);
$until = microtime(true) + $ms / 1000;
function spin(float $until): void
{
    while (microtime(true) < $until) {
        hash('sha256', 'x');
    }
}
switch ($_GET['how'] ?? 'spin') {
    case 'spin':
        spin($until);
        break;
    case 'sleep':
        usleep(1000 * $ms);
        break;
    case 'flock': // of a file that the script itself holds by another descriptor
        $name = tempnam(sys_get_temp_dir(), 'tq');
        $held = fopen($name, 'r');
        flock($held, LOCK_EX);
        $mine = fopen($name, 'r');
        unlink($name);
        flock($mine, LOCK_EX);
        break;
    case 'write': // notices that its client has left
        while (microtime(true) < $until) {
            echo str_repeat(' ', 5000);
            flush();
            usleep(10000);
        }
        break;
}
if ($mark) {
    touch("$mark.done");
}
echo 'done';
