<?php
// ?code=N sets the status; ?cookies, ?location=URL set headers; ?body=TEXT.
if (isset($_GET['code'])) {
    http_response_code((int)$_GET['code']);
}
if (isset($_GET['location'])) {
    header('Location: ' . $_GET['location'], true, (int)($_GET['code'] ?? 302));
}
if (isset($_GET['cookies'])) {
    setcookie('first', '1');
    setcookie('second', 'a b');
    header('Set-Cookie: third=3; Path=/; HttpOnly', false);
}
header('X-Answer: yes');
echo $_GET['body'] ?? '';
