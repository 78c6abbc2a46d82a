// Segment Destination Function: identify events become customers of Voucherify.
//
// Written by segsync function, version %s. Do not edit it: change the mapping, and write it again.
// Mapping     %s
// source_id   %s
// Metadata    METADATA_POLICY=%s
//
// To use it, create a Destination Function in Segment (Connections, Catalog, Functions), replace its code
// by this file, and add the settings
//
//   applicationId    text, required
//   secretKey        text, required, sensitive
//   apiUrl           text, required: https://api.voucherify.io, or the URL of your region
//   deleteCustomers  boolean: whether a delete event deletes the customer
//
// Segment does not promise the order of events, and repeats failed ones for four hours: an older
// identify may come last. The nightly import is the truth, and segsync plan shows what differs.
