<?php
// Verifies webhooks of Switchhook (Standard Webhooks). PHP 7.1 or later, nothing to install.
// WEBHOOK_SECRET is the hook's secret: whsec_ and base64 text.

/** Whether Switchhook sent this request. $headers: names in lower case; $body: file_get_contents('php://input'). */
function verify(array $headers, string $body, int $tolerance_s = 300): bool
{
    $secret = base64_decode(preg_replace('/^whsec_/', '', getenv('WEBHOOK_SECRET')));
    $id = $headers['webhook-id'] ?? '';
    $timestamp = $headers['webhook-timestamp'] ?? '';
    if (!ctype_digit($timestamp) || abs(time() - (int) $timestamp) > $tolerance_s) {
        return false; // too old or from the future: somebody may have recorded and repeated it
    }
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $secret, true));
    foreach (explode(' ', $headers['webhook-signature'] ?? '') as $signature) {
        if (hash_equals($expected, $signature)) {
            return true;
        }
    }
    return false;
}
