<?php
$before = ini_get('memory_limit');
$set = ini_set('memory_limit', '1G');
$setting = ini_set('display_errors', '1');
header('Content-Type: application/json');
echo json_encode([
    'memory_limit' => $before,
    'set' => $set,
    'after' => ini_get('memory_limit'),
    'basedir' => ini_get('open_basedir'),
    'basedir_set' => ini_set('open_basedir', '/'),
    'outside' => @file_get_contents('/etc/passwd') !== false,
    'display_errors' => ini_get('display_errors'),
]);
