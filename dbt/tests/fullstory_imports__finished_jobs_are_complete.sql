{{ config(enabled=dbt_fullstory_imports.job_kinds() | length > 0) }}

select *
from {{ ref('fullstory_imports__jobs') }}
where is_finished and (missing > 0 or failed_missing > 0)
