<?php
// A receiver that verifies each delivery and drops repetitions.
//
//     WEBHOOK_SECRET=whsec_... SEEN=/var/lib/receiver php -S 127.0.0.1:9000 receiver.php
//
// Prints one line for each delivery that is genuine and new. PHP 8 or later, nothing to install. Needs a hook with a secret
// and "format": "json" (the default is form-data).
require __DIR__ . '/verify.php';

$headers = array_change_key_case(getallheaders());
$body = file_get_contents('php://input');
if (!verify($headers, $body)) {
    http_response_code(401);
    exit;
}
// The ids of processed deliveries, each the name of a file. Creating the file fails if it exists. A real receiver stores
// the id in the same transaction as its work.
$delivery = $headers['webhook-id'];
$file = getenv('SEEN') . '/' . preg_replace('/[^a-z0-9_]/', '', $delivery);
if (@fopen($file, 'x')) {
    file_put_contents('php://stdout', $delivery . ' ' . json_decode($body)->hook_event . "\n");
}
// Last, because after a 200 the delivery does not come again.
http_response_code(200);
