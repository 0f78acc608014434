# The vault. What is locked here nobody can delete before its time, the owner of the account included.
#
# There is no rule that expires objects by age: it would count from their creation, and put delete markers on old packs
# that the newest point still needs. What nobody needs any more is removed off-host (homeport backup vault gc).

resource "aws_s3_bucket" "vault" {
  bucket              = var.bucket
  object_lock_enabled = true # from the first moment: then nobody can disable it, nor suspend versioning
  force_destroy       = false

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "vault" {
  bucket = aws_s3_bucket.vault.id

  versioning_configuration {
    status = "Enabled"
  }
}

# A second belt: every object that Homeport writes names its own date, 37 days ahead.
resource "aws_s3_bucket_object_lock_configuration" "vault" {
  bucket     = aws_s3_bucket.vault.id
  depends_on = [aws_s3_bucket_versioning.vault]

  rule {
    default_retention {
      mode = "COMPLIANCE"
      days = 30
    }
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "vault" {
  bucket = aws_s3_bucket.vault.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "vault" {
  bucket                  = aws_s3_bucket.vault.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "vault" {
  bucket = aws_s3_bucket.vault.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "vault" {
  bucket     = aws_s3_bucket.vault.id
  depends_on = [aws_s3_bucket_versioning.vault]

  rule {
    id     = "abort-incomplete-uploads"
    status = "Enabled"
    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

resource "aws_s3_bucket_policy" "vault" {
  bucket     = aws_s3_bucket.vault.id
  depends_on = [aws_s3_bucket_public_access_block.vault]

  policy = templatefile("${path.module}/policies/bucket.json.tftpl", {
    bucket_arn   = aws_s3_bucket.vault.arn
    uploader_arn = aws_iam_user.identity["uploader"].arn
    verifier_arn = aws_iam_user.identity["verifier"].arn
    restorer_arn = aws_iam_user.identity["restorer"].arn
  })
}
