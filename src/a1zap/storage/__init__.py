"""Where sealed blobs lie: a folder, or anything that speaks S3."""
