<?php // SOURCE-OF-SRV
header('Content-Type: application/json');
echo json_encode([
    'server' => $_SERVER,
    'get' => (object)$_GET,
    'post' => (object)$_POST,
    'cookie' => (object)$_COOKIE,
    'env' => (object)getenv(),
    'pid' => getmypid(),
    'sapi' => php_sapi_name(),
    'prepend' => ini_get('auto_prepend_file'),
    'include' => ini_get('allow_url_include'),
], JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES);
