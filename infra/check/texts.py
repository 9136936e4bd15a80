def jobs(repository):
    return []
