<?php
$hash = hash_init('sha256');
$size = hash_update_stream($hash, fopen('php://input', 'rb'));
header('Content-Type: application/json');
echo json_encode([
    'method' => $_SERVER['REQUEST_METHOD'],
    'type' => $_SERVER['CONTENT_TYPE'] ?? null,
    'length' => $_SERVER['CONTENT_LENGTH'] ?? null,
    'size' => $size,
    'sha256' => hash_final($hash),
    'pid' => getmypid(),
], JSON_UNESCAPED_SLASHES);
