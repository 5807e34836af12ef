<?php
error_log('to the log: ' . ($_GET['text'] ?? ''));
file_put_contents('php://stderr', "to stderr: first line\nto stderr: second line\n");
echo 'logged';
