<?php

// Runs the checks of the lines of standard input, and prints the outcome of each.

declare(strict_types=1);

require 'LastLogout.php';

$clients = [];
while (($line = fgets(STDIN)) !== false) {
    $case = json_decode($line, true);
    $options = ['url' => $case['url'], 'apiKey' => $case['key'], 'namespace' => $case['namespace']];
    if ($case['timeoutSeconds'] !== null) {
        $options['timeoutMs'] = $case['timeoutSeconds'] * 1_000;
    }
    try {
        $clients[json_encode($options)] ??= new LastLogout(...$options);
        echo $clients[json_encode($options)]->check($case['claims']), "\n";
    } catch (InvalidArgumentException) {
        echo "invalid\n";
    }
}
