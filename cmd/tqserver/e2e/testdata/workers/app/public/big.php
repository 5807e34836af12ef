<?php
// ?blocks=N: N blocks of 64 KiB, each another one. ?length: with Content-Length.
$blocks = (int)($_GET['blocks'] ?? 1);
header('Content-Type: application/octet-stream');
if (isset($_GET['length'])) {
    header('Content-Length: ' . $blocks * 65536);
}
for ($i = 0; $i < $blocks; $i++) {
    echo str_repeat(hash('sha256', (string)$i), 1024);
}
