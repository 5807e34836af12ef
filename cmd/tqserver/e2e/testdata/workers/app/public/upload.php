<?php
$files = [];
foreach ($_FILES as $field => $f) {
    $files[$field] = [
        'name' => $f['name'], 'error' => $f['error'], 'size' => $f['size'],
        'sha256' => $f['error'] ? '' : hash_file('sha256', $f['tmp_name']),
    ];
}
header('Content-Type: application/json');
echo json_encode(['files' => (object)$files, 'post' => (object)$_POST]);
