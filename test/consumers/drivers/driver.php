<?php

// Runs the checks of the lines of standard input, and prints the outcome of each.

declare(strict_types=1);

require 'LastLogout.php';

$clients = [];
while (($line = fgets(STDIN)) !== false) {
    ['url' => $url, 'key' => $key, 'timeoutSeconds' => $timeout, 'claims' => $claims] = json_decode($line, true);
    $options = $timeout === null ? [$url, $key] : [$url, $key, $timeout * 1_000];
    $clients[json_encode($options)] ??= new LastLogout(...$options);
    echo $clients[json_encode($options)]->check($claims), "\n";
}
