<?php

// A front page that needs no database: posts are the array below.
$posts = [
    'first-light' => ['First light', 'This page was made by a php-cgi child that TQServer keeps warm.'],
    'one-cache' => ['One cache for all', 'The children of a worker share one opcache: a script is compiled once.'],
];
// /blog/index.php/first-light has PATH_INFO /first-light.
$slug = trim($_SERVER['PATH_INFO'] ?? '', '/');
$shown = $slug === '' ? $posts : array_intersect_key($posts, [$slug => true]);
if ($shown === []) {
    http_response_code(404);
}
$base = dirname($_SERVER['SCRIPT_NAME']);
$base = htmlspecialchars($base === '/' ? '' : $base);
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>A blog on TQServer</title>
<style>body { max-width: 40em; margin: 2em auto; padding: 0 1em; font: 1rem/1.5 system-ui, sans-serif }</style>
<h1><a href="<?= $base ?>/">A blog on TQServer</a></h1>
<?php foreach ($shown as $name => [$title, $text]): ?>
<h2><a href="<?= $base ?>/index.php/<?= $name ?>"><?= htmlspecialchars($title) ?></a></h2>
<p><?= htmlspecialchars($text) ?></p>
<?php endforeach ?>
<?php if ($shown === []): ?>
<p>There is no such post.</p>
<?php endif ?>
<p>See also <a href="<?= $base ?>/hello.php">hello.php</a> and <a href="<?= $base ?>/info.php">info.php</a>.</p>
</html>
